"""From weights and a prompt to text: `text.complete` and `text.stream` for strings, `decode.generate` for ids.

Nothing is imported here, so that the command line can offer generation without waiting for torch.
"""

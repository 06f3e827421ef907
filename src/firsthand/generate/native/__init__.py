"""Writing one token after another without torch: a model as a list of instructions, and who carries them out."""

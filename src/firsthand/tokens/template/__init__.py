"""Chat templates as Hugging Face's files hold them: Jinja, from strangers, rendered within limits."""

# %% [markdown] tags=["exercise:linear_attention"]
# %% [markdown] tags=["exercise:selective_scan"]

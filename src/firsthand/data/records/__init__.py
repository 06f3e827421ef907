"""Records: what is learnt from when tuning, out of files in the layouts that are in use."""

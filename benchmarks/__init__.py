"""One file for each claim of speed. A benchmark prints ratios beside a peer and the machine's roof; it never fails."""

"""The benchmark of ztransport: what encryption costs, and what it costs elsewhere in the path."""

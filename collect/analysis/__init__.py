"""From records to numbers: which are data points, their statistics, comparisons and the paper's claims. No I/O."""

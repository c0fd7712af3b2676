"""A search for parameters that do well on held-out data: space (what is searched), trials (what one trial is),
sampling (how values are drawn, which trials are stopped), study (what is kept), search (the loop), result, plots."""

"""Hydra finds this package as `hydra_plugins.hessrun_sweeper`: a basic sweep that leaves no file of Hydra's own."""

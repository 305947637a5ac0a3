"""hessrun."""

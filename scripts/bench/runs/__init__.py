"""hessrun's runs, records and all, beside bare PyTorch."""

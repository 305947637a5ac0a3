"""The write-up's assertions, each a test on the records."""

"""Methods of others that results are compared with."""

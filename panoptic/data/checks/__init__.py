"""What inspection finds: the faults of data sets, by format."""

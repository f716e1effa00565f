"""Tables, plots and pages made of records."""

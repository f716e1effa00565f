"""For plugin authors: conformance checks."""

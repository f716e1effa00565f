"""Encoders of users: files, programs, services and modules, with the facts that no file contains."""

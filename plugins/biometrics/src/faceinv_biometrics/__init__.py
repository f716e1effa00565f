"""faceinv protocols: attack success, identification."""

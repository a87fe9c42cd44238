"""The systems that a user would set up instead, each in the way its documentation recommends."""

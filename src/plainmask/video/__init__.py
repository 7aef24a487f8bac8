"""Videos in and out: where frames come from, and where their results go."""

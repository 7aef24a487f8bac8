"""From any file to one array, and from the array to the model's pixels and back."""

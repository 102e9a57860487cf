"""What a coordinator does with commands that ask primitives."""

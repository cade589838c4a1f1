"""The notations of an inventory, one module each: `read(text, file)` for what it says, `positions(text)` for where."""

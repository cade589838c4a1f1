"""Writers of the notations, one module each: `change(text, change)` returns the text with the smallest change.

They cut and insert at the places that a parse tree gives, so that the rest of the text keeps its bytes: comments,
order, indentation, quotes. None of them is trusted: `rolecall.inventory.edit` reads their text before it is written.
"""

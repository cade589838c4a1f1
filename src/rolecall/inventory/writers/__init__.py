"""Writers of the notations, one module each: `change(text, change)` gives the text with the smallest change.

They cut and insert at the places that a parse tree tells, so that all else stays as it was to the byte: comments,
order, indentation, quotes. None of them is trusted: `rolecall.inventory.edit` reads what they wrote before it keeps it.
"""

"""From what machines answered to the plan that a person sees, and to one that is saved.

`explaining` joins the answer of a machine with what is declared: `differences` compares contents, `causes` finds why
each resource changes. `saved` writes a plan to a file, and `text` shows one; it renders the same value as ``--json``.
"""

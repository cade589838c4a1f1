"""What flows through the pipeline. Read these first.

The order in which values come to be: inventory, membership, vars, configuration, plan, report.
"""

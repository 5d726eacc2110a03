"""How plans, outcomes and diagnostics look to people and programs: pure functions from models to lines, Markdown or JSON.

Called by `reconciler/cli/`. Nothing here prints, knows a terminal or does I/O, so that every line can be tested as text.
"""

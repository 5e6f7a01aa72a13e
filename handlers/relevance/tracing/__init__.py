"""Turns a module into a program.

In come an nn.Module in evaluation mode and Rules; out goes a Program, or UnsupportedOperation with the step's name.
Called through handlers.relevance.trace, once per loaded model. table.py: the operation of every module and call.
"""

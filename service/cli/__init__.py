"""The command line: arguments and files come in, text, JSON and result files go out.

It calls the client, or the service and the torch side to start them; people and scripts call it.
"""

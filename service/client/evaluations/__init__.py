"""Makes messages of evaluations. Methods, measures and what is known of clips come in as Python has them; the parts of
CreateJobRequest go out. Called by jobs and by the client without a service.
"""

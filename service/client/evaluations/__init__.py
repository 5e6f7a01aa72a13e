"""Makes messages of evaluations. Methods, measures and what is known of clips come in as Python has them, or as files
of ground truth; the parts of CreateJobRequest go out. Called by jobs, by the client without a service, and by the
command `evaluate`.
"""

"""Who calls, and what they may: TLS, principals by token, certificate or issuer, rights by RPC, the audit log.

In: the credentials of a call (metadata, headers, a certificate's names) and the RPC it asks for. Out: the call let
through with its principal, or Unauthenticated or PermissionDenied. Called by the gRPC interceptor, by the page's
middleware, by the job servicer (whose jobs may be seen), and by service.server, which makes it all from the settings.
"""

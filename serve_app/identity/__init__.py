"""Identity: the small local issuer of access tokens; any OIDC issuer can stand in its place."""

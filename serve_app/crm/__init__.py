"""The CRM: sellers release, approve, reject and close orders; quotes that are not approved in time expire."""

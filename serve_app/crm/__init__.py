"""The CRM: sellers release, approve, reject and close orders; quotes that nobody approves run out."""

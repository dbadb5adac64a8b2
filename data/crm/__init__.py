"""The CRM's database: submitted orders with their quotes, and what sellers decide about them."""

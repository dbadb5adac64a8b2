"""The CRM's database: submitted orders with their quotes, and the decisions of sellers."""

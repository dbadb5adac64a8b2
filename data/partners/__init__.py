"""The partner service's database: partners, their API keys and webhooks, and every delivery with its attempts."""

"""From incidents to messages in chats: worded, made harmless, filtered, delivered once."""

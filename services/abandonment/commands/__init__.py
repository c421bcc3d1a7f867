"""The detector's commands: `trolleybus replay`, `trolleybus record` and `trolleybus carts`."""

-- Run once, when the server's volume is empty. A service owns its database and creates its tables at its start.
create database trolleybus_ingest;
create database trolleybus_campaigns;
create database trolleybus_messaging;
create database trolleybus_analytics;
create database registry;

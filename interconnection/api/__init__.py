"""The application API, a file a subject: thin views over services and queries. Kilowatts outside, watts inside."""

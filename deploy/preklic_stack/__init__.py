"""Development only: real RabbitMQ, MongoDB and SMTP on free loopback ports, stopped by whoever started them."""

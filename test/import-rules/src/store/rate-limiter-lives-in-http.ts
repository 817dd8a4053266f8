import 'rate-limiter-flexible';

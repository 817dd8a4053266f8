import 'scim2-parse-filter';

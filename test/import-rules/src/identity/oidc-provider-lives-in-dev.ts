import 'oidc-provider';

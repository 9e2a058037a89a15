"""From a request to pictures: samples the plan, denoises, decodes. Knows no HTTP and no command line."""

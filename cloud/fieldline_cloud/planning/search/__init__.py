"""Large-neighbourhood search over tours of any kind: take jobs out, put them back better, cool down."""
